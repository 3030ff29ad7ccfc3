"""Scripts that measure the training of other libraries, the peers in benchmarks/train.py.

There is one script for each peer. The script runs with the Python of the environment in which the peer is installed.
"""
