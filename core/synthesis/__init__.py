"""Grasps from nothing: starts, optimisation, acceptance, and making training grasps with them."""
