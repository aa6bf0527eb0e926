"""Train the model that fitParam.0.model names."""

import mlsql
import mlsql_model
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

MODELS = {
    "bayes": MultinomialNB(),
    "logistic": LogisticRegression(),
    "forest": RandomForestClassifier(n_estimators=100, max_depth=12, random_state=0),
}

model = MODELS[mlsql.fit_param["model"]]
model.fit(*mlsql.all_data())
mlsql_model.sk_save_model(model)
