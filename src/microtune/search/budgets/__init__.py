"""The report of `search --pareto`: what other budgets give, beside known schemes."""
