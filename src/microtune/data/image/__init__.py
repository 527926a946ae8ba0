"""Pictures: which files they are, what a viewer shows, and the codes the device gets."""
