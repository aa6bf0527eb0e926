"""Train scikit-learn's multinomial naive Bayes, batch by batch."""

import mlsql
import mlsql_model
from sklearn.naive_bayes import MultinomialNB

model = MultinomialNB()
mlsql.sklearn_configure_params(model)  # alpha and the like, from fitParam.<i>.alpha

labels = range(int(mlsql.get_param(mlsql.fit_param, "labelSize", 2)))
batch_size = int(mlsql.get_param(mlsql.fit_param, "batchSize", 1000))

rows = 0
for X, y in mlsql.read_batches(batch_size):
    model.partial_fit(X, y, classes=labels)
    rows += len(y)
    mlsql.report(step=rows, batch_accuracy=model.score(X, y))

X_test, y_test = mlsql.get_validate_data()
if len(X_test) > 0:
    print("mlsql_validation_score:%f" % model.score(X_test, y_test))

mlsql_model.sk_save_model(model)
