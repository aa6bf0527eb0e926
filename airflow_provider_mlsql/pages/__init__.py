"""Pages of the API server: the manifests of the model versions in a task's XCom."""
