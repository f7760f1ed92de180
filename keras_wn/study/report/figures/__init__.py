"""The report's plots: a file each, which draws from results alone."""
