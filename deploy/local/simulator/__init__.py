"""A carrier that speaks Twilio's API and keeps an exact ledger: the oracle of who was texted, and how often."""
