"""Plans, runners and campaigns: everything between a request and its result folder."""
