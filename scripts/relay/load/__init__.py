"""Loaders: vendor bytes into landing/, from there into raw.*."""
