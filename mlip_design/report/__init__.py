"""What a run says to a person."""
