"""Studies: how well the generated C learns, beside what others would learn (`microtune study`)."""
