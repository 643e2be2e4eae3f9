"""Penalties on rough forces, added to the training loss; see the modules. Off unless `regularizer=NAME`."""
