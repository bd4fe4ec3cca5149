"""Run folders: what stands where, who writes it, and which runs are dead."""
