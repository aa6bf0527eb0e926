"""From a function package in the model store to a function that Spark SQL can call."""
