"""Searches: the space of choices, the study that proposes trials and keeps their results, locks between workers."""
