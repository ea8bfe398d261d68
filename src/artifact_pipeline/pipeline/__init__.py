"""The operations of the package, one module for each verb."""
