"""Models in other software's formats: versions as MLflow and ONNX models, and models made elsewhere as versions."""
