"""Data shipped inside the package: drawings, sketches, their licences, and the script that builds them."""
