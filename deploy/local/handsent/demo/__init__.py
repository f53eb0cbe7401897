"""`handsent demo`: the main job on a CSV without a browser, checked against the carrier's own ledger."""
