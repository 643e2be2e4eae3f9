"""Properties of molecules and crystals by a model, beside those by a reference."""
