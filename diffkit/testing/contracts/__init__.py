"""Contracts: what every part of a kind keeps to, a file for each kind and a function for each contract."""
