"""Language models as services: requests and replies, the ledger, the clients, the budget."""
