# Writes mclust_mstep.csv: the M-step of mclust 6.0.0 (R 4.2.2) for Fisher's iris with the species as labels, all 14
# structures: the complete-data log-likelihood without the labels' share, and how many numbers the covariances have.
# Rscript mclust_mstep.R > mclust_mstep.csv
suppressMessages(library(mclust))
x <- as.matrix(iris[, 1:4])
z <- unmap(iris$Species)
cat("model,log_likelihood,n_covariance_parameters\n")
for (model in mclust.options("emModelNames")) {
  control <- emControl(tol = c(1e-14, 1e-14), itmax = c(10000, 10000))
  found <- switch(model,
    VEI = mstepVEI(x, z, control = control), VEE = mstepVEE(x, z, control = control),
    VEV = mstepVEV(x, z, control = control), EVE = mstepEVE(x, z, control = control),
    VVE = mstepVVE(x, z, control = control), mstep(data = x, modelName = model, z = z))
  density <- cdens(data = x, modelName = model, parameters = found$parameters, logarithm = TRUE)
  cat(model, format(sum(z * density), digits = 12), nVarParams(model, d = 4, G = 3), sep = ",")
  cat("\n")
}
