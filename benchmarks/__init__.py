"""Other packages and emjax, side by side: ``python -m benchmarks`` from the root of the project."""
