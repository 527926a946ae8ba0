"""Run the generated C: numpy's meaning, the host library, the emulated chip."""
