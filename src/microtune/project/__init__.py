"""The C project: its folder, its plan.json, its templates, what it saved."""
