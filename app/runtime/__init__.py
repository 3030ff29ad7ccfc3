"""How the process starts and uses the machine: TensorFlow's start, processors, signals, console, text files."""
