"""microtune: networks that keep learning on the microcontroller they run on."""

__version__ = "0.1.0"
