"""Train gradient-boosted trees for a number. The score is a loss: set scoreMode to min (greater_is_better=False)."""

import mlsql
import mlsql_model
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

model = HistGradientBoostingRegressor(random_state=mlsql.seed())
mlsql.sklearn_configure_params(model)  # learning_rate, max_iter and the like

X, y = mlsql.all_data(sparse=False)  # it takes no sparse matrices
model.fit(X, y)

X_test, y_test = mlsql.get_validate_data()
if len(X_test) > 0:
    predicted = model.predict(X_test)
    mlsql.report(mae=mean_absolute_error(y_test, predicted))
    print("mlsql_validation_score:%f" % root_mean_squared_error(y_test, predicted))

mlsql_model.sk_save_model(model)
