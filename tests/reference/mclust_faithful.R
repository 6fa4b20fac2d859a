# Writes mclust_faithful.csv: what mclust 6.0.0 (R 4.2.2) finds for Old Faithful, all 14 structures and 1 to 9 components.
# Rscript mclust_faithful.R > mclust_faithful.csv
# bic has mclust's sign (the higher the better); smallest_share is the smallest mixing proportion, and smallest_ratio
# the smallest eigenvalue of a component's covariance over the smallest one of the covariance of the data.
suppressPackageStartupMessages(library(mclust))
standardised <- scale(faithful)
within <- min(eigen(cov(standardised))$values)
cat("model,n_components,bic,log_likelihood,df,smallest_share,smallest_ratio\n")
for (model in mclust.options("emModelNames")) for (k in 1:9) {
  fit <- Mclust(faithful, G = k, modelNames = model, verbose = FALSE)
  if (is.null(fit)) { cat(sprintf("%s,%d,,,,,\n", model, k)); next }
  scale_of <- attr(standardised, "scaled:scale")
  ratios <- apply(fit$parameters$variance$sigma, 3, function(s) min(eigen(s / outer(scale_of, scale_of))$values)) / within
  cat(sprintf("%s,%d,%.6f,%.6f,%d,%.6f,%.6f\n", model, k, fit$bic, fit$loglik, fit$df, min(c(1, fit$parameters$pro)), min(ratios)))
}
