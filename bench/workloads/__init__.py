"""What is measured: ours, the peers' and the machine's limits, all behind ``bench.host.Workload``."""
