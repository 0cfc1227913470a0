"""Language models as services: requests and replies, the ledger, the client, money."""
