"""From a reply to candidates: the tasks that the generator wrote, parsed item by item."""
