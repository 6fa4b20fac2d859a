"""Runs of emjax from the command line or a config file, each written whole into a folder of its own."""
