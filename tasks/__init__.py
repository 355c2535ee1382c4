"""The contract between machines: jobs, the ledger, the store, and the one function that runs a step."""
