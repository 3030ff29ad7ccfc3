"""The process and its machine: the start of TensorFlow, processors, signals, the console and text files."""
