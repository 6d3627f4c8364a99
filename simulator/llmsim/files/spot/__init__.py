"""Traces of spot capacity and spot prices, whatever they are written in."""
