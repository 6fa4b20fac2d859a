# EM iterations of mclust from a given start; see outside.py for the files and arguments.
suppressPackageStartupMessages(library(mclust))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
n <- as.integer(arguments[2]); d <- as.integer(arguments[3]); k <- as.integer(arguments[4])
full <- arguments[5] == "full"
n_iter <- as.integer(arguments[6])
read <- function(name, count) readBin(file.path(folder, name), "double", count)
write <- function(name, values) writeBin(as.double(values), file.path(folder, name))

x <- matrix(read("x", n * d), n, d, byrow = TRUE)
means <- matrix(read("means", d * k), d, k)
weights <- read("weights", k)
covariances <- if (full) array(read("covariances", d * d * k), c(d, d, k)) else matrix(read("covariances", d * k), d, k)

model <- if (d == 1) "V" else if (full) "VVV" else "VVI"
variance <- switch(model,
  V = list(modelName = "V", d = 1, G = k, sigmasq = as.vector(covariances)),
  VVV = list(modelName = "VVV", d = d, G = k, sigma = covariances,
             cholsigma = array(apply(covariances, 3, chol), c(d, d, k))),
  VVI = {
    scale <- exp(colMeans(log(covariances)))
    list(modelName = "VVI", d = d, G = k, scale = scale, shape = sweep(covariances, 2, scale, "/"))
  })
data <- if (d == 1) as.vector(x) else x
start <- list(pro = weights, mean = if (d == 1) as.vector(means) else means, variance = variance)

begin <- Sys.time()
result <- em(data, modelName = model, parameters = start, control = emControl(tol = c(0, 0), itmax = c(n_iter, n_iter)))
seconds <- as.numeric(difftime(Sys.time(), begin, units = "secs"))

found <- result$parameters
if (is.null(found) || any(is.na(unlist(found[c("pro", "mean")])))) stop("mclust returned no parameters", call. = FALSE)
write("weights", found$pro)
write("means", found$mean)
write("covariances", if (d == 1) found$variance$sigmasq else if (full) found$variance$sigma else
  apply(found$variance$sigma, 3, diag))
cat(sprintf("%.9f\n", seconds))
