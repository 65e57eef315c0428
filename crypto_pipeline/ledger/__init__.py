"""The completeness ledger: which ids are held, which lack and why. Pure; assets feed and store it."""
