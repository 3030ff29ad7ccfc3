"""Trains on several devices and machines: the cluster, its barrier, and the distribution of batches."""
