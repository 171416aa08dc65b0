"""The project's own breast phantom: mammogram views as arrays, made from a seed."""
