"""The public Python. `import microtune as mt` loads each name of it when it is first used."""
