"""Workloads of fastppo, its peers and the machine's limits, all with the interface ``bench.host.Workload``."""
