// EM iterations of Armadillo's Gaussian mixtures from a given start; see outside.py for the files and arguments.
#include <armadillo>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

namespace {

void read_file(const std::string& path, double* values, const arma::uword n) {
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values), static_cast<std::streamsize>(n * sizeof(double)));
  if (!file) { throw std::runtime_error("cannot read " + path); }
}

void write_file(const std::string& path, const double* values, const arma::uword n) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(n * sizeof(double)));
}

template <typename Model>
double learn(Model& model, const arma::mat& x, const arma::uword k, const arma::uword n_iter) {
  const auto begin = std::chrono::steady_clock::now();
  const bool good = model.learn(x, k, arma::eucl_dist, arma::keep_existing, 0, n_iter, 1e-300, false);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (!good) { throw std::runtime_error("learning failed"); }
  return seconds.count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) {
    std::printf("%d.%d.%d\n", ARMA_VERSION_MAJOR, ARMA_VERSION_MINOR, ARMA_VERSION_PATCH);
    return 0;
  }
  try {
    const std::string folder = std::string(argv[1]) + "/";
    const arma::uword n = std::stoul(argv[2]), d = std::stoul(argv[3]), k = std::stoul(argv[4]);
    const bool full = std::string(argv[5]) == "full";
    const arma::uword n_iter = std::stoul(argv[6]);
    arma::mat x(d, n), means(d, k), variances(d, full ? 0 : k);
    arma::cube covariances(d, d, full ? k : 0);
    arma::rowvec weights(k);
    read_file(folder + "x", x.memptr(), d * n);
    read_file(folder + "means", means.memptr(), d * k);
    read_file(folder + "weights", weights.memptr(), k);
    double seconds = 0;
    if (full) {
      read_file(folder + "covariances", covariances.memptr(), d * d * k);
      arma::gmm_full model;
      model.set_params(means, covariances, weights);
      seconds = learn(model, x, k, n_iter);
      means = model.means;
      covariances = model.fcovs;
      weights = model.hefts;
      write_file(folder + "covariances", covariances.memptr(), d * d * k);
    } else {
      read_file(folder + "covariances", variances.memptr(), d * k);
      arma::gmm_diag model;
      model.set_params(means, variances, weights);
      seconds = learn(model, x, k, n_iter);
      means = model.means;
      variances = model.dcovs;
      weights = model.hefts;
      write_file(folder + "covariances", variances.memptr(), d * k);
    }
    write_file(folder + "means", means.memptr(), d * k);
    write_file(folder + "weights", weights.memptr(), k);
    std::printf("%.9f\n", seconds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
