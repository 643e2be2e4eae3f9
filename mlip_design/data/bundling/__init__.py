"""How the bundled set is made; `mlip_design.data.make_bundled` puts the parts together."""
