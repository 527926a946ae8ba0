"""Lifetimes, planner and validator: where every buffer of a step lives in the arena."""
