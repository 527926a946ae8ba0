"""Import int8 (and legacy uint8) networks of TensorFlow Lite, `.tflite`.

Layers are named conv0, conv1, …, fc0, … in execution order. The graph keeps the file's arithmetic:
in mode "tflite" every tensor equals that of the reference kernels (`microtune verify`).
"""

from microtune.importers.tflite.importer import TfliteImporter, TfliteModel, import_tflite

__all__ = ["TfliteImporter", "TfliteModel", "import_tflite"]
