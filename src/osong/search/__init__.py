"""The search: from a prepared ligand to ranked poses."""
