"""Train a random forest on the whole table."""

import mlsql
import mlsql_model
from sklearn.ensemble import RandomForestClassifier

model = RandomForestClassifier(random_state=mlsql.seed())
mlsql.sklearn_configure_params(model)  # n_estimators, max_depth and the like, from fitParam.<i>.n_estimators

X, y = mlsql.all_data()
model.fit(X, y)

X_test, y_test = mlsql.get_validate_data()
if len(X_test) > 0:
    mlsql.report(trees=len(model.estimators_), deepest=max(tree.get_depth() for tree in model.estimators_))
    print("mlsql_validation_score:%f" % model.score(X_test, y_test))

mlsql_model.sk_save_model(model)
