"""Train a logistic regression on the columns of a table."""

import mlsql
import mlsql_model
from sklearn.linear_model import LogisticRegression

frame = mlsql.all_frame()
model = LogisticRegression().fit(frame[mlsql.feature_columns], frame[mlsql.label_column])
mlsql_model.sk_save_model(model)
